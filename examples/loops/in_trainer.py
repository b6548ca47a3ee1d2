"""The Trainer of transformers (pip install transformers accelerate).

torchrun --nproc-per-node 2 examples/loops/in_trainer.py
"""

import tempfile

import small
import torch
import torch.distributed as dist
from torch.utils.data import DataLoader
from transformers import Trainer, TrainingArguments

from longtail import ClassRectificationLoss, gather_ranks, one_batch
from longtail.losses.cross_entropy import cross_entropy
from longtail.sampling.share import ProcessBatches


class RectifiedTrainer(Trainer):
    crl = ClassRectificationLoss(level="instance", normalize=True)

    def compute_loss(self, model, inputs, return_outputs=False, num_items_in_batch=None):
        images, labels = inputs
        with one_batch():
            logits, features = model(images)
            loss = cross_entropy(logits, labels)
            loss = loss + 0.15 * self.crl(*map(gather_ranks, (logits, labels, features)))
        return (loss, logits) if return_outputs else loss

    def get_train_dataloader(self):
        rank, world = self.args.process_index, self.args.world_size
        batches = ProcessBatches(small.sampler(self.train_dataset, world), rank, world)
        return DataLoader(self.train_dataset, batch_sampler=batches)


def train():
    network = small.Network()
    optimizer = torch.optim.SGD(network.parameters(), lr=0.1)
    constant = torch.optim.lr_scheduler.ConstantLR(optimizer, factor=1.0)
    with tempfile.TemporaryDirectory() as folder:
        arguments = TrainingArguments(
            output_dir=folder,
            num_train_epochs=small.EPOCHS,
            max_grad_norm=0.0,
            use_cpu=True,
            save_strategy="no",
            report_to="none",
            disable_tqdm=True,
        )
        given = {"train_dataset": small.data(), "optimizers": (optimizer, constant)}
        RectifiedTrainer(network, arguments, **given).train()
    return network


if __name__ == "__main__":
    train()
    dist.destroy_process_group()
