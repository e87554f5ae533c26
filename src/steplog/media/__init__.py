"""Images, audio, video, pages, tables and histograms as values of ``log``."""
