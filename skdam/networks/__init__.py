"""Networks for tables and images, and the layers that they are made of."""
