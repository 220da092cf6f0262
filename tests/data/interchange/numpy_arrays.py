"""Writes numpy.npz and numpy.npy, which the tests of src/data/npy.rs read: arrays of many types, as NumPy saves them."""
import numpy as np

six = np.arange(6).reshape(2, 3)
np.savez_compressed(
    "numpy.npz",
    f2=six.astype("<f2"), f4=six.astype("<f4"), f8=six.astype("<f8"), big_f4=six.astype(">f4"),
    fortran=np.asfortranarray(six.astype("<f8")), i1=six.astype("i1"), i8=six.astype("<i8"), big_u2=six.astype(">u2"),
    u4=six.astype("<u4"), negative=np.array([-1, -128, 127], "i1"), bool=np.array([True, False]),
    scalar=np.array(2.5), empty=np.zeros((0, 4), "f4"),
)
np.save("numpy.npy", six.astype("<f4"))
