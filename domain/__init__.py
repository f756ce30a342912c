"""What Freshtape knows and decides: pure nouns, thin verbs, no framework."""
