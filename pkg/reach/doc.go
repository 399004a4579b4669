// Package reach says which addresses may be connected to where others say whom: nobody is led to the metadata service of a
// cloud, whatever a name resolves to.
package reach
