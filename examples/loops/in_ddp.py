"""A loop of your own with torch's DistributedDataParallel.

torchrun --nproc-per-node 2 examples/loops/in_ddp.py
"""

import small
import torch
import torch.distributed as dist
from torch.nn.parallel import DistributedDataParallel
from torch.utils.data import DataLoader

from longtail import ClassRectificationLoss, gather_ranks, one_batch
from longtail.losses.cross_entropy import cross_entropy
from longtail.sampling.share import ProcessBatches


def train():
    if not dist.is_initialized():
        dist.init_process_group()
    rank, world = dist.get_rank(), dist.get_world_size()
    data, network = small.data(), small.Network()
    batches = ProcessBatches(small.sampler(data, world), rank, world)
    model = DistributedDataParallel(network)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    crl = ClassRectificationLoss(level="instance", normalize=True)
    for epoch in range(small.EPOCHS):
        batches.set_epoch(epoch)
        for images, labels in DataLoader(data, batch_sampler=batches):
            with one_batch():
                logits, features = model(images)
                loss = cross_entropy(logits, labels)
                loss = loss + 0.15 * crl(*map(gather_ranks, (logits, labels, features)))
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
    return network


if __name__ == "__main__":
    train()
    dist.destroy_process_group()
