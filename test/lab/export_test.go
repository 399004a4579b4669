package lab

// RunBuild is for a test that is killed while it builds.
var RunBuild = runBuild
