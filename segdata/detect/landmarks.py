"""Which of BlazePose's 33 landmarks is which of COCO's 17 keypoints.

COCO's names are those of its person_keypoints files. BlazePose numbers its landmarks from 0: face 0-10, arms and hands
11-22, hips 23-24, legs and feet 25-32. The corners of the eyes, the mouth, fingers, heels and toes have no
counterpart in COCO and are left out.
"""

from __future__ import annotations

COCO_KEYPOINTS = {
    "nose": 0,
    "left_eye": 2,
    "right_eye": 5,
    "left_ear": 7,
    "right_ear": 8,
    "left_shoulder": 11,
    "right_shoulder": 12,
    "left_elbow": 13,
    "right_elbow": 14,
    "left_wrist": 15,
    "right_wrist": 16,
    "left_hip": 23,
    "right_hip": 24,
    "left_knee": 25,
    "right_knee": 26,
    "left_ankle": 27,
    "right_ankle": 28,
}
"""COCO's keypoints in their order, each with the number of its landmark in BlazePose."""
