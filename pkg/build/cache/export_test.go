package cache

// Overhead is about what keeping something takes besides its bytes.
const Overhead = overhead
