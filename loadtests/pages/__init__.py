"""What the HTML reports of the benchmark and of the fault lab share: layout, style and charts."""
