"""What one picture goes through, in order: images, detect, align, quality, model, calibration."""
