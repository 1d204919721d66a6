"""Proposals of regions by what the image looks like, without a network."""

import torch
from torch import Tensor


def selective_search(image: Tensor) -> Tensor:
    """Boxes (r, 4) in an image (C, H, W), and one around the whole of it, always the same for the same image.

    The image is cut into pieces of one colour, and neighbours that are alike are joined again and again; each box is
    around what was joined at some time (Uijlings et al., "Selective search", 2013). By OpenCV, in its fast mode.

    **Raises:** `ImportError` if OpenCV with its contributed modules is not there.
    """
    import cv2

    pixels = image.detach().float().cpu()
    low, high = pixels.amin(), pixels.amax()
    scaled = ((pixels - low) * (255 / (high - low).clamp(min=1e-6))).byte()
    # OpenCV wants three channels; which three does not matter to what is alike.
    colours = scaled[torch.arange(3) % len(scaled)].permute(1, 2, 0).contiguous().numpy()
    search = cv2.ximgproc.segmentation.createSelectiveSearchSegmentation()
    search.setBaseImage(colours)
    search.switchToSelectiveSearchFast()
    height, width = image.shape[1:]
    found = torch.tensor([(0, 0, width, height), *map(tuple, search.process())], dtype=torch.float32)
    corners = torch.cat([found[:, :2], found[:, :2] + found[:, 2:]], dim=1)
    # Joined pieces come in an order that is drawn anew in each process.
    return corners.unique(dim=0).to(image.device)


def is_there() -> bool:
    """Whether OpenCV can be imported, with its contributed modules."""
    try:
        import cv2
    except ImportError:
        return False
    return hasattr(cv2, "ximgproc")
