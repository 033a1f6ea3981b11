export class AllOverview { constructor(root){this.root=root;} show(){} }
