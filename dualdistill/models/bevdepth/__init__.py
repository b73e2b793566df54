"""The camera student: image encoder, view transform, BEV encoder."""
