"""A small network with the face of timm's vision transformers."""

import torch
from torch import nn


class Block(nn.Module):
    def __init__(self, width):
        super().__init__()
        self.norm1, self.norm2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.attn = nn.MultiheadAttention(width, 2, batch_first=True)
        self.mlp = nn.Sequential(nn.Linear(width, 4 * width), nn.GELU(), nn.Linear(4 * width, width))

    def forward(self, x):
        y = self.norm1(x)
        x = x + self.attn(y, y, y, need_weights=False)[0]
        return x + self.mlp(self.norm2(x))


class Vision(nn.Module):
    """(N, 3, 16, 16) -> (N, width)."""

    def __init__(self, width=8, depth=3):
        super().__init__()
        self.num_features = self.out_features = width
        self.cls_token = nn.Parameter(torch.randn(1, 1, width))
        self.pos_embed = nn.Parameter(torch.randn(1, 5, width))
        self.patch_embed = nn.Conv2d(3, width, 8, 8)
        self.blocks = nn.Sequential(*(Block(width) for _ in range(depth)))
        self.norm = nn.LayerNorm(width)
        self.fc_norm = nn.LayerNorm(width)
        self.head = nn.Identity()

    def forward_head(self, x):
        return self.head(self.fc_norm(x[:, 0]))

    def forward(self, images):
        patches = self.patch_embed(images).flatten(2).mT
        x = torch.cat([self.cls_token.expand(len(patches), -1, -1), patches], 1) + self.pos_embed
        return self.forward_head(self.norm(self.blocks(x)))
