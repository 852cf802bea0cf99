"""What the business itself knows: folders of documents, kept in the memory as passages."""
