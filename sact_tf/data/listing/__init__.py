"""Files of people: which are images, which class they are of, and which are there twice."""
