"""segdata: person-segmentation data sets from photos and annotations, and scores of masks."""
