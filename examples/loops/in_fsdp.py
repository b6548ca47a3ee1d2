"""A network whose parameters are shared out among the processes (fully_shard of torch).

torchrun --nproc-per-node 2 examples/loops/in_fsdp.py
"""

import small
import torch
import torch.distributed as dist
from torch.distributed.checkpoint.state_dict import StateDictOptions, get_model_state_dict
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import fully_shard
from torch.utils.data import DataLoader

from longtail import ClassRectificationLoss, gather_ranks, one_batch
from longtail.losses.cross_entropy import cross_entropy
from longtail.sampling.share import ProcessBatches


def train():
    if not dist.is_initialized():
        dist.init_process_group()
    rank, world = dist.get_rank(), dist.get_world_size()
    data, model = small.data(), small.Network()
    mesh = init_device_mesh("cpu", (world,))
    for part in (model.body, model):
        fully_shard(part, mesh=mesh)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    batches = ProcessBatches(small.sampler(data, world), rank, world)
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
    whole = small.Network()
    whole.load_state_dict(get_model_state_dict(model, options=StateDictOptions(full_state_dict=True)))
    return whole


if __name__ == "__main__":
    train()
    dist.destroy_process_group()
