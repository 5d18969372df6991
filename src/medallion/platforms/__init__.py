"""Access to lakes, warehouses and homes on every platform; knows no field of an event."""
