"""The processes of a job and the devices they run on."""
