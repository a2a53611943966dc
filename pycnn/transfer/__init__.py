"""Teaching a network new classes, on images with labels."""
