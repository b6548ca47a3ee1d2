"""What a frozen network says of images: computed once, kept on disk, read in place of the images."""
