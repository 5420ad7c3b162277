"""What a net sees: datasets on the device, the batches made of them, images made ready."""
