"""Pictures of samples with their labels drawn in, and what is made of them: sheets, reports, the review site."""
