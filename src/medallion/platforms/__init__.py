"""Where things run: lakes, warehouses and homes. This room knows no field of an event."""
