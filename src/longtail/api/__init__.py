"""What Python programs call; `longtail` itself hands it on."""
