"""Redfish (DMTF DSP0266), as far as power, boot and virtual media need it."""
