"""What `segdata demo` builds its data set from: photos of the scikit-image wheel, and outlines drawn for them."""
