"""The process node: scheduler and kubelet in one, running each container as a local process."""
