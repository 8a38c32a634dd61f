"""What a process keeps of tenants, offers and products, and how it hears that it is behind."""
