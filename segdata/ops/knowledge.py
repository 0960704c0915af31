"""What is known of a photo beside its pixels, for models that use it."""

from __future__ import annotations

from collections.abc import Iterable

import msgspec
import numpy as np
import numpy.typing as npt

from segdata.dataset import Row
from segdata.models.shapes import bytes_of_map
from segdata.ops.poses import dominant_keypoints, poses_entry, require_poses, wants_poses
from segdata.ops.saliency_map import saliency_map


class Knowledge(msgspec.Struct, frozen=True):
    """What a model uses: a saliency map of the dominant person as fourth channel, and the photo's domain.

    The map is made as `segdata saliency --who dominant` makes it, from annotated keypoints or from a detected pose;
    the domain is the one that `segdata grade-domains` wrote, if it has been run.
    """

    saliency: bool
    domain: bool

    def of(self, row: Row) -> Row:
        """Give what of a row is needed: the photo's name, and what the model uses."""
        columns = ["key", "file_name"]
        columns += ["persons", "poses"] if self.saliency else []
        columns += ["domain"] if self.domain else []
        return {column: row[column] for column in columns if row.get(column) is not None}

    def joined(self, image: npt.NDArray[np.uint8], data: bytes, row: Row) -> npt.NDArray[np.uint8]:
        """Give the uint8 (H, W, 3) photo, whose file's bytes are `data`, with its fourth channel if there is one."""
        if not self.saliency:
            return image
        poses = poses_entry(image, data, row.get("poses")) if wants_poses(row) else None
        map_ = saliency_map(dominant_keypoints(row, poses), (image.shape[0], image.shape[1]))
        return np.dstack([image, bytes_of_map(map_)])


def require_knowledge(knowledge: Knowledge, rows: Iterable[Row]) -> None:
    """Make sure, before any work, that poses can be detected if any photo needs that.

    Raises `InputError` that says what to install.
    """
    if knowledge.saliency:
        require_poses(row for row in rows if wants_poses(row))
