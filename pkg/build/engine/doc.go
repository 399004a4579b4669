// Package engine builds a kustomization as kustomize does, byte for byte and in the same order, without what makes
// kustomize's time grow with the square of the number of objects, and again at the cost of what changed.
//
// Every object takes its own way: read from a file or generated, then through the transformers of one kustomization file
// after the other. Kustomize's own builtins and filters do the work, on one object at a time. What they would look up
// among all objects (is the name taken, does the patch have exactly one target, which object is referred to) is kept
// beside them in indexes and checked for all at once. DESIGN.md says why the output is the same.
//
// What the engine is not sure of ends in a [Doubt]: kustomize itself then builds, and its result or error is the answer.
// So the engine has no errors of its own about the input.
package engine
