"""What records mean, to the server that stores them and to whoever reads them where they were logged."""
