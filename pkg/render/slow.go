package render

import "fmt"

// whySlow adds to the error of a build over its limits what a person can do about it.
func whySlow(err error, why string) error {
	if why == "" {
		return err
	}
	return fmt.Errorf("%w; kustomize itself makes this build, in a time that grows with the square of the number of objects: "+
		"take out what only it builds, or make several Kustomizations of it (%s)", err, why)
}
