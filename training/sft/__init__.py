"""Supervised fine-tuning: conversations as samples, and the stage that trains on them."""
