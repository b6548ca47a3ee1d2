"""A loop of your own with accelerate (pip install accelerate).

accelerate launch --cpu --num_processes 2 examples/loops/in_accelerate.py
"""

import small
import torch
import torch.distributed as dist
from accelerate import Accelerator
from torch.utils.data import DataLoader

from longtail import ClassRectificationLoss, gather_ranks, one_batch
from longtail.losses.cross_entropy import cross_entropy
from longtail.sampling.share import ProcessBatches


def train():
    accelerator = Accelerator(cpu=True)
    rank, world = accelerator.process_index, accelerator.num_processes
    data, network = small.data(), small.Network()
    # not through `prepare`, which would deal the batches once more
    batches = ProcessBatches(small.sampler(data, world), rank, world)
    model, optimizer = accelerator.prepare(network, torch.optim.SGD(network.parameters(), lr=0.1))
    crl = ClassRectificationLoss(level="instance", normalize=True)
    for epoch in range(small.EPOCHS):
        batches.set_epoch(epoch)
        for images, labels in DataLoader(data, batch_sampler=batches):
            images, labels = images.to(accelerator.device), labels.to(accelerator.device)
            with one_batch():
                logits, features = model(images)
                loss = cross_entropy(logits, labels)
                # not `accelerator.gather`, which carries no gradient
                loss = loss + 0.15 * crl(*map(gather_ranks, (logits, labels, features)))
            optimizer.zero_grad()
            accelerator.backward(loss)
            optimizer.step()
    return network


if __name__ == "__main__":
    train()
    dist.destroy_process_group()
