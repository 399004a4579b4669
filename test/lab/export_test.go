package lab

// RunBuild is for a test that is killed while it builds.
var RunBuild = runBuild

// HasRoom says whether databases of tests may be in a directory of memory.
var HasRoom = hasRoom
