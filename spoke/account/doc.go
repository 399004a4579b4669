// Package account is on whose behalf the spoke acts: as the ServiceAccount that an App names, by impersonation.
package account
