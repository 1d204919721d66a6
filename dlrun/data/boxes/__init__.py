"""Images with places in them: objects and their boxes, corner points, masks."""
