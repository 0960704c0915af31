"""Networks for person segmentation: definitions, training, prediction and export."""
