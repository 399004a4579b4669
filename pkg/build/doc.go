// Package build turns a directory of a source's files into the objects that kustomize prints for it, as Flux has
// kustomize do it: an existing kustomization file is used as it is, but that one which lists no resources makes its
// objects say their origin; a directory without one is scanned for YAML.
//
// A build is pure: the same files give the same objects wherever it runs. It reads the [FileSystem] it is given and
// nothing else, neither network nor disk. What would reach outside (remote bases, charts, plugins that are programs)
// is refused as soon as the kustomization file that says so is read, with the file and the field named.
//
// Kustomize has no bounds of its own on time or memory, and some input makes it end the process. Input of tenants is
// therefore built in the workers of pkg/render, which also bar what this package could overlook.
package build
