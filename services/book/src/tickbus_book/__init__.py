"""The book service: replicas of the order books, and views of them."""
