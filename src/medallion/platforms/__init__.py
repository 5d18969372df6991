"""Access to lakes, warehouses and homes, whatever they run on; knows no field of an event."""
