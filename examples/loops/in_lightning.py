"""A LightningModule (pip install 'lightning>=2.6.4').

torchrun --nproc-per-node 2 examples/loops/in_lightning.py 2
"""

import sys

import small
import torch
from lightning import LightningModule, Trainer
from torch.utils.data import DataLoader

from longtail import ClassRectificationLoss, gather_ranks, one_batch
from longtail.losses.cross_entropy import cross_entropy
from longtail.sampling.share import ProcessBatches


class Rectified(LightningModule):
    def __init__(self):
        super().__init__()
        self.network = small.Network()
        self.crl = ClassRectificationLoss(level="instance", normalize=True)

    def training_step(self, batch, step):
        images, labels = batch
        with one_batch():
            logits, features = self.network(images)
            loss = cross_entropy(logits, labels)
            return loss + 0.15 * self.crl(*map(gather_ranks, (logits, labels, features)))

    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), lr=0.1)

    def train_dataloader(self):
        data, world = small.data(), self.trainer.world_size
        batches = ProcessBatches(small.sampler(data, world), self.global_rank, world)
        return DataLoader(data, batch_sampler=batches)


def train(devices=2):
    module = Rectified()
    trainer = Trainer(
        accelerator="cpu",
        devices=devices,
        strategy="ddp",
        max_epochs=small.EPOCHS,
        use_distributed_sampler=False,  # ProcessBatches deals the batches
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
    )
    trainer.fit(module)
    return module.network


if __name__ == "__main__":
    train(*map(int, sys.argv[1:]))
