"""Networks: layers, where their weights start, and what may be padded to them."""
