"""What pages are built from: charts, pictures, maps, as data that the templates show."""
