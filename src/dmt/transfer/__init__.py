"""How general is each layer of a network: the study of Yosinski et al. (2014), anew."""
