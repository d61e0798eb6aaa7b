"""The inverse problem: operators, signals, generators, the coordinates of training, and maps to compare with."""
