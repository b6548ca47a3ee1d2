"""From results to what people read: pages, charts, terminal tables."""
