"""The report as one page: each module gathers one section, the template shows it."""
