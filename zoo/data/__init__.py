"""What a net sees: data sets on the device, the batches made of them, pictures made ready."""
