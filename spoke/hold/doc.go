// Package hold knows what an operator at the cluster has put on hold there, by annotation of a Namespace: nothing new is
// applied of it, hub or not.
package hold
