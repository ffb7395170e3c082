"""Pictures: flowcharts, panels, HTML."""
